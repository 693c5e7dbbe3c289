"""What is drawn as a graph: the flow of a saga, and the map of who calls whom."""
