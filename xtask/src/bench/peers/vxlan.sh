# Kernel VXLAN, not encrypted: the relay's machine bridges one tunnel from the player and one from the LAN gateway.
# Arguments: the role, and the addresses that the relay sees (player, LAN gateway) or the relay's own.
case "$1" in
relay)
    ip link add bench-br type bridge stp_state 0 mcast_snooping 0 forward_delay 0
    ip link add to-player type vxlan id 1 remote "$2" dstport 4789 dev eth0
    ip link add to-gateway type vxlan id 2 remote "$3" dstport 4789 dev eth0
    for port in to-player to-gateway; do ip link set "$port" master bench-br up; done
    ip link set bench-br up
    ;;
player) ip link add "$3" type vxlan id 1 remote "$2" dstport 4789 dev eth0 ;;
gateway) ip link add "$3" type vxlan id 2 remote "$2" dstport 4789 dev eth0 ;;
esac
