"""Other controllers in the same world: what a user would pick instead of siteshift, and nobody at all (`nothing`)."""
