"""Music as columns of numbers: notes, MIDI in and out, transforms, pictures, sound, metrics. Numpy and file formats."""
