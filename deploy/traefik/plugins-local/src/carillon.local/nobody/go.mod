module carillon.local/nobody

go 1.22
