"""The bundled mutants of gradients: torch's own values, and gradients with a fault; and honest ones."""
