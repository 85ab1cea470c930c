"""What is wrong: from probe results to standings (`vantage`), from many vantages' reports to a picture (`diagnosis`)."""
