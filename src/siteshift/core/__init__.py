"""The pure core: events in, commands out. Nothing here waits, reads a clock, draws lots, logs or opens anything."""
