"""GoReplay's `.gor` files (github.com/buger/goreplay, protocol.go and output_file.go), read and written."""
