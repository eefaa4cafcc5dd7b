"""One heavy dependency per folder, imported on use; its errors become ours here.

Only `nbplat.compose` imports from here.
"""
