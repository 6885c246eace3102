"""What the commands print: tables and summaries for people, and JSON for programs."""
