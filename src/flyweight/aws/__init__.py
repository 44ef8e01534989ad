"""What Amazon Bedrock needs of a client and no more: signing, credentials, pooled connections. Imported lazily."""
