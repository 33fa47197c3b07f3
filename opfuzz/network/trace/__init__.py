"""Two real models, module by module on the same inputs."""
