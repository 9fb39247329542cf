"""What strangers' programs say of Muniment's formats."""
