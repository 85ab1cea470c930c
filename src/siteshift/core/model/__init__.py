"""The nouns: sites, services, pools, members, policy, steering, and the codes every part of siteshift speaks."""
