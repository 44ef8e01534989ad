"""The builder: walk -> chunk -> embed -> segment -> manifest. Runs in processes of its own, which exit."""
