"""Networks written as calls of specs: the dispatcher, the bundled decoder, and what can be planted in them."""
