"""The ground of every search: checked vectors, exact distances, centroids."""
