"""`aura envoy-config`: what a real Envoy in front of Aura is configured with."""
