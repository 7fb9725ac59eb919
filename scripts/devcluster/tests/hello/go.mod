module devcluster/hello

go 1.26
