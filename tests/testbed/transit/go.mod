// The transit engine of Vault, as far as SOPS uses it.
module lockstep.test/transit

go 1.26.0
