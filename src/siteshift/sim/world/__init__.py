"""What is outside the nodes: places and links, servers, users, data planes, standbys and the store. It decides nothing."""
