import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// A machine of the user's: a node container that the test makes by Docker's own commands and sealer knows by its address alone. It
/// has sshd, and an ordinary user with a password who may use sudo with it.
struct UserHost: Sendable {
    let machine: Machine
    let container: String
    let address: String

    /// The ordinary user, and what sshd and sudo ask for.
    static let user = "ops"
    static let password = "correct horse"
    /// The variable in which sealer is given the password.
    static let passwordVariable = "TEST_HOST_PASSWORD"

    /// Runs a script on it, as root and past sshd.
    func script(_ text: String) async throws -> Machine.Outcome {
        try await machine.run(["docker", "exec", container, "bash", "-euc", text])
    }

    /// Runs a script on it that must succeed.
    @discardableResult
    func check(_ text: String) async throws -> String {
        try await machine.check(["docker", "exec", container, "bash", "-euc", text])
    }

    /// Its line for a file of known host keys, read on the host itself.
    func knownHostsLine() async throws -> String {
        let key = try await check("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
        return "\(address) \(key.filter { !$0.isNewline })\n"
    }

    /// Lets the user in by a key alone, and use sudo without a password.
    func admit(publicKey: String) async throws {
        try await check(
            """
            usermod --lock \(Self.user)
            echo '\(Self.user) ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/\(Self.user)
            install -d -m 700 -o \(Self.user) -g \(Self.user) /home/\(Self.user)/.ssh
            echo '\(publicKey.filter { !$0.isNewline })' >/home/\(Self.user)/.ssh/authorized_keys
            chown \(Self.user):\(Self.user) /home/\(Self.user)/.ssh/authorized_keys
            """)
    }

    /// Has what it had, and nothing else.
    ///
    /// - Parameter counts: which of what is new counts.
    func expectTraces(
        _ before: Set<String>, sourceLocation: SourceLocation = #_sourceLocation,
        counts: (String) -> Bool = { _ in true }
    ) async throws {
        let now = try await traces()
        #expect(now.subtracting(before).filter(counts) == [], "left on \(container)", sourceLocation: sourceLocation)
        #expect(before.subtracting(now) == [], "taken from \(container)", sourceLocation: sourceLocation)
    }

    /// Takes it away with its disks.
    func remove() async throws {
        try await machine.check(["docker", "rm", "--force", "--volumes", container])
    }

    /// What it has besides what changes by itself: files, what is in those of its configuration, units, mounts, network devices,
    /// routes, rules, settings of the kernel, users.
    func traces() async throws -> Set<String> {
        Set(
            try await check(
                """
                find / /var/lib/containerd -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log \
                    -o -path /home/\(Self.user) -o -path /var/lib/systemd \\) -prune \
                    -o \\( -type f -o -type l -o -type d \\) -printf 'file %p\\n'
                systemctl list-unit-files --no-legend --plain | awk '{ print "unit", $1, $2 }'
                awk '{ print "mount", $2 }' /proc/self/mounts
                ip -o link show | awk -F': ' '{ sub("@.*", "", $2); print "link", $2 }'
                { ip route show; ip -6 route show; } | sed 's/^/route /'
                { ip rule show; ip -6 rule show; } | sed 's/^/routing rule /'
                ipset list -name | sed 's/^/address set /'
                # By hand and not by the list of sealer's own: what that forgets shall show.
                sysctl -a --pattern '^net\\.(ipv4\\.(ip_forward|conf\\.all)|ipv6\\.conf\\.(all|default|eth0))' 2>/dev/null |
                    grep -v 'stable_secret' | sed 's/^/kernel setting /'
                find /etc -xdev -type f ! -path /etc/resolv.conf ! -path '/etc/ssh/ssh_host_*' -exec sha256sum {} + | sed 's/^/content /'
                # A built-in chain shows as soon as somebody has looked at its table; Docker's ports change with each start.
                for filter in iptables ip6tables; do
                    $filter-save | grep -E '^(-A|:)' | grep -vE '^:[A-Z]+ ACCEPT|DOCKER_' |
                        sed "s/ \\[.*//;s/^/$filter /" || true
                done
                cut -d: -f1 /etc/passwd | sed 's/^/user /'
                """
            ).split(separator: "\n").map(String.init))
    }
}

/// The machines of one test and the network that they are in.
struct UserHosts: Sendable {
    let machine: Machine
    /// The network, which is the user's own too.
    let network: String
    /// The first three numbers of its addresses.
    let prefix: String
    /// The first groups of its addresses of IPv6, where it has such.
    var prefix6: String?

    private static let label = "io.sealer.test"

    /// Makes the network; what an earlier run left of it goes away first.
    static func make(_ machine: Machine, network: String, prefix: String, prefix6: String? = nil) async throws
        -> UserHosts
    {
        let hosts = UserHosts(machine: machine, network: network, prefix: prefix, prefix6: prefix6)
        try await hosts.remove()
        try await machine.check(
            [
                "docker", "network", "create", "--internal", "--subnet", "\(prefix).0/24", "--label",
                "\(label)=\(network)",
            ] + (prefix6.map { ["--ipv6", "--subnet", "\($0)::/64"] } ?? []) + [network])
        return hosts
    }

    /// Makes a machine; `number` is the last one of its addresses. Its address is the one of IPv4.
    func add(_ name: String, _ number: Int) async throws -> UserHost {
        let address = "\(prefix).\(number)"
        var command = [
            "docker", "run", "--detach", "--name", name, "--hostname", name, "--network", network, "--ip", address,
            "--label", "\(Self.label)=\(network)", "--security-opt", "seccomp=unconfined", "--security-opt",
            "apparmor=unconfined", "--security-opt", "systempaths=unconfined", "--cgroupns", "private",
            "--device-cgroup-rule", "a *:* rwm", "--tmpfs", "/run", "--tmpfs", "/tmp:exec", "--volume",
            "/var/lib/containerd", "--stop-signal", "SIGRTMIN+3",
        ]
        if let prefix6 { command += ["--ip6", "\(prefix6)::\(number)"] }
        for capability in try await capabilities() { command += ["--cap-add", capability] }
        try await machine.check(command + [machine.nodeImage])
        let host = UserHost(machine: machine, container: name, address: address)
        try await host.check(
            """
            for attempt in {1..300}; do
                state="$(systemctl is-system-running || true)"
                [[ $state != running && $state != degraded ]] || break
                sleep 0.2
            done
            useradd --create-home --shell /bin/bash \(UserHost.user)
            echo '\(UserHost.user):\(UserHost.password)' | chpasswd
            echo '\(UserHost.user) ALL=(ALL:ALL) ALL' >/etc/sudoers.d/\(UserHost.user)
            ssh-keygen -A >/dev/null
            systemctl unmask --quiet ssh.service
            systemctl enable --quiet --now ssh.service
            """)
        return host
    }

    /// Makes a machine that has IPv6 alone, beside what every kernel has on its loopback device.
    func addWithoutIPv4(_ name: String, _ number: Int) async throws -> UserHost {
        let host = try await add(name, number)
        try await host.check(
            """
            ip -4 address flush dev eth0
            # In place: the file is a mount of its own.
            names="$(grep -v '^\(prefix)' /etc/hosts)"
            printf '%s\\n' "$names" >/etc/hosts
            """)
        let prefix6 = try #require(prefix6)
        return UserHost(machine: machine, container: name, address: "\(prefix6)::\(number)")
    }

    /// What this machine itself may do, by the names that every Docker knows: `--privileged` would ask for more.
    private func capabilities() async throws -> [String] {
        let names = [
            "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
            "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
            "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
            "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
            "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
        ]
        let line = try await machine.check(["sed", "-n", "s/^CapBnd:\\s*//p", "/proc/self/status"])
        let set = try #require(UInt64(line.filter { !$0.isWhitespace }, radix: 16))
        return names.indices.filter { set >> UInt64($0) & 1 == 1 }.map { names[$0] }
    }

    /// Takes all machines and the network away.
    func remove() async throws {
        let filter = "label=\(Self.label)=\(network)"
        let containers = try await machine.check(["docker", "ps", "--all", "--quiet", "--filter", filter])
        let ids = containers.split(separator: "\n").map(String.init)
        if !ids.isEmpty { try await machine.check(["docker", "rm", "--force", "--volumes"] + ids) }
        let networks = try await machine.check(["docker", "network", "ls", "--quiet", "--filter", filter])
        for id in networks.split(separator: "\n") {
            try await machine.check(["docker", "network", "rm", String(id)])
        }
    }
}
