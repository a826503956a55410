"""HTTP: the app, its health and metrics, and recordings by signed URL."""
