"""What a video file holds beside the picture: sound, subtitles, attachments."""
