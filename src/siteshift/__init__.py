"""siteshift: a multi-datacentre failover traffic controller."""
