"""The file's model: what may stand in a configuration, as strict pydantic models, one concept a module.

Every required key has an example; `siteshift.config.salvage` puts it in place of a missing or broken value, so that the
rest of the file can be judged too. Defaults of policies are those of `siteshift.core.model.policy`, stated there once.
"""
