"""The FAISS vector index."""
