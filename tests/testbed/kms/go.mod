// AWS KMS, as far as SOPS uses it.
module lockstep.test/kms

go 1.26.0

require github.com/aws/aws-sdk-go-v2 v1.42.0

require github.com/aws/smithy-go v1.27.1 // indirect
