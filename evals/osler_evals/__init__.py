"""Quality of each arrow: audio to transcript, transcript to note."""
