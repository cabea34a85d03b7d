"""The waist: reading, running and counting TFLite files. Everything leaves share about them."""
