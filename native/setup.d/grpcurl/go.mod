module midplane/grpcurl

go 1.19

require github.com/fullstorydev/grpcurl v1.6.1
