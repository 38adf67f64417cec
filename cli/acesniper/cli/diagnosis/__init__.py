"""What `acesniper doctor` knows: `sight` is all that is read, `checks` judge it without asking."""
