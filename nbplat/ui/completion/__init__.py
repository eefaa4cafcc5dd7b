"""What may follow at the cursor in magic lines and in the bodies below them."""
