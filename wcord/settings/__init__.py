"""The settings of an experiment: a validated tree, dotted changes, plugins, presets and files.

Imports nothing, because readers without torch use `wcord.settings.settings_file`.
"""
