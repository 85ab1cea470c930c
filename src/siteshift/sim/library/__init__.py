"""Many scenarios at a time, each in a process of its own (`jobs`), or each under two policies (`compare`)."""
