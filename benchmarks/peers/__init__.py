"""What Flyweight is measured beside.  These modules run in the peers' interpreter."""
