module midplane/grpc

go 1.19

require google.golang.org/grpc v1.62.2
