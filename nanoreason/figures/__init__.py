"""What is drawn and tabulated from results alone."""
