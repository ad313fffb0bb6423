threads = 2
