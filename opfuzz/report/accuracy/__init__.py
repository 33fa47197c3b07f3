"""The table of accuracies: a cell for each function, subject and format, and the pages and data made of them."""
