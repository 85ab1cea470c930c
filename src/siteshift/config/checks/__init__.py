"""What the shape of values cannot say: identities, references, numbers that must fit, planes, safety, surroundings.

Each check takes the model and `Findings`; it looks at everything and stops at nothing.
"""
