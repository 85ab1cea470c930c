"""The report of one run or of the library, as one HTML file."""
