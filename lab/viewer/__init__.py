"""The view: one picture machine, shown by Streamlit, JupyterLab and a single file of HTML."""
