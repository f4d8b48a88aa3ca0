"""What the numbers can bear: intervals over seeds and items, paired tests, what n could show."""
