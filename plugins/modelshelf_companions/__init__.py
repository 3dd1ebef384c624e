"""A plugin of Modelshelf."""
