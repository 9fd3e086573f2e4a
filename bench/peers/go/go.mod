module echo-node/bench/peers/go

go 1.21
