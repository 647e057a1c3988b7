"""HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/), read one entry at a time, and written."""
