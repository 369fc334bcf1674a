"""The settings of an experiment: one validated tree, dotted changes to it, presets and files.

Nothing is imported here, since `schema` is for readers that do without torch.
"""
