"""Results for people: tables on the screen."""
