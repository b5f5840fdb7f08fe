"""Speed, as ratios measured in one run: absolute figures belong to the machine they come from."""
