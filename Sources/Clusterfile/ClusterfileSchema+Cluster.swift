extension ClusterfileSchema {
    /// The document of kind Cluster.
    static let cluster = Document(
        kind: "Cluster",
        apiVersions: apiVersions,
        olderVersions: olderVersions,
        meaning: "A cluster: its image, its hosts, and what holds for all of them.",
        fields: header("Cluster", apiVersions) + [
            metadata(
                "The cluster's name: at most 40 lower-case letters, digits and -, a letter or digit at both ends.",
                pattern: "[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?"),
            Field("spec", .mapping(specification), "What the cluster is to be.", isRequired: true),
            status,
        ]
    )

    /// The fields of a cluster's `spec`.
    static let specification: [Field] = [
        Field(
            "image", .text(), "The ClusterImage.", example: "registry.example.com/shop:1.0", since: "v1, v2",
            isRequired: true),
        Field(
            "hosts", .list(.mapping(hostGroup)),
            "The hosts, in groups of those that are alike. The first host with the role master is the first master.",
            example: "[{ips: [192.168.0.2-4], roles: [master]}, {ips: [192.168.0.5], roles: [node]}]", since: "v2"),
        Field(
            "provider", provider,
            "Where hosts come from that say nothing else.", standard: "baremetal", since: "v1"),
        Field(
            "masters", .mapping(hostCount), "The masters, in the short form without hosts.", example: "{count: 1}",
            since: "v1"),
        Field(
            "nodes", .mapping(hostCount), "The workers, in the short form without hosts.", example: "{count: 2}",
            since: "v1"),
        Field("ssh", .mapping(ssh), "How hosts are reached that say nothing else.", since: "v1, v2"),
        Field("network", .mapping(network), "The networks of pods and services.", since: "v1"),
        Field(
            "env", environment,
            "Environment of the rootfs' scripts and of launch commands. Values are taken literally.",
            standard: "none", example: "[COLOUR=blue]", since: "v1, v2"),
        Field(
            "certSANs", .list(.text()), "Further host names and addresses for the API server's certificate.",
            standard: "none", example: "[api.example.com, 192.0.2.10]", since: "v1", aliases: ["certSANS"]),
        Field(
            "certificates", .mapping(certificates), "How long certificates live, and where authorities come from.",
            since: "ours"),
        Field(
            "hostAliases", .list(.mapping(hostAlias)), "Names that all nodes know besides the cluster's own.",
            standard: "none", example: "[{ip: 10.0.0.9, hostnames: [harbor.local]}]", since: "0.11"),
        Field("registry", .mapping(registry), "The registry of the cluster.", since: "0.11"),
        Field(
            "containerRuntime",
            .mapping([
                Field(
                    "type", .text(pattern: namePattern),
                    "Only containerd: a cluster with another one is refused so far.", standard: "containerd",
                    example: "containerd", since: "0.11", isRequired: true)
            ]),
            "The container runtime that the image installs.", since: "0.11"),
        Field(
            "dataRoot", .text(pattern: "/.+"), "The folder on nodes that rootfs are unpacked below.",
            standard: Cluster.defaultDataRoot, example: "/data/sealer", since: "0.11"),
        Field(
            "appNames", .list(.text()), "The applications to launch, in order; an empty list launches none.",
            standard: "those that the image launches", example: "[mysql, shop]", since: "0.11"),
        Field(
            "cmd", .list(.text()), "Launch commands instead of the image's. It excludes appNames.",
            standard: "the image's", example: "[kubectl apply -f manifests/shop.yaml]", since: "v2"),
        Field("container", .mapping(nodeContainer), "How node containers are made.", since: "ours"),
        .refused("cmd_args"),
    ]

    private static let provider = FieldType.choice(
        HostGroup.Provider.allCases.map(\.rawValue),
        older: [("BAREMETAL", "baremetal"), ("CONTAINER", "container")])

    private static let environment = FieldType.either([
        .list(.text(pattern: "\(variablePattern)=[\\s\\S]*")), .map(.text()),
    ])

    private static let number = FieldType.quotableNumber(1...65535)

    /// The fields of a group of hosts.
    static let hostGroup: [Field] = [
        Field(
            "provider", provider,
            "baremetal: a machine of yours, reached by SSH. container: a container of this machine's Docker."
                + " local: this very machine, which can be one host.",
            standard: "spec.provider, or baremetal", since: "ours"),
        Field(
            "ips", .list(.text(pattern: addressPattern)),
            "Their addresses, IPv4 or IPv6, and ranges of at most 4096. Containers have none.",
            example: "[192.168.0.2, 192.168.0.3-192.168.0.5, 192.168.0.6-9]", since: "v2"),
        Field(
            "count", .quotableNumber(1...Cluster.mostContainers), "How many containers there are.", standard: "1",
            since: "ours"),
        Field(
            "roles", .list(.text(pattern: namePattern)),
            "master runs the control plane, node runs applications. Further names are your own: plugins and"
                + " commands find"
                + " hosts by them.",
            example: "[node, db]", since: "v2", isRequired: true),
        Field("ssh", .mapping(ssh), "How they are reached; field by field over spec.ssh.", since: "v2"),
        Field("env", environment, "Environment on these hosts, over spec.env.", standard: "none", since: "v2"),
        Field(
            "labels", .map(.text(pattern: "(\(namePattern))?")), "Labels of the Kubernetes nodes.", standard: "none",
            example: "{disk: ssd}", since: "0.11"),
        Field(
            "taints", .list(.text(pattern: ".+:(\(Taint.Effect.allCases.map(\.rawValue).joined(separator: "|")))")),
            "Taints of the Kubernetes nodes: key=value:Effect or key:Effect.", standard: "none",
            example: "[\"dedicated=db:NoSchedule\"]", since: "0.11"),
    ]

    /// The fields of `masters` and `nodes`.
    static let hostCount: [Field] = [
        Field(
            "count", .quotableNumber(0...Cluster.mostContainers), "How many containers there are.", standard: "1",
            since: "v1"),
        Field(
            "ipList", .list(.text(pattern: "[\\[\\]0-9A-Fa-f.:-]+")),
            "Their addresses and ranges, for all providers but container; ADDRESS:PORT names a port of SSH.",
            since: "v1"),
        .ignored("cpu", "belongs to hosts of a cloud, which sealer does not make"),
        .ignored("memory", "belongs to hosts of a cloud, which sealer does not make"),
        .ignored("systemDisk", "belongs to hosts of a cloud, which sealer does not make"),
        .ignored("dataDisks", "belongs to hosts of a cloud, which sealer does not make"),
    ]

    private static let secretWords =
        "env:NAME (a variable of the sealer command), file:PATH (the first line of a file), prompt (sealer"
        + " asks); the secret"
        + " itself works with a warning, and is never written back."

    /// The fields of `ssh`.
    static let ssh: [Field] = [
        Field(
            "user", .text(), "The login user.", standard: "OpenSSH's configuration", example: "admin", since: "v1, v2"),
        Field(
            "passwd", .text(), "The login user's password, which sudo is given too: " + secretWords,
            standard: "none", example: "env:SSH_PASSWORD", since: "v1, v2", aliases: ["password"], isSecret: true),
        Field(
            "pk", .text(), "The private key's file on this machine.", standard: "OpenSSH's configuration",
            example: "~/.ssh/id_rsa", since: "v1, v2", aliases: ["identityFile"]),
        Field(
            "pkPasswd", .text(), "The private key's passphrase: " + secretWords, standard: "none",
            example: "file:/run/secrets/passphrase", since: "v1, v2", aliases: ["passphrase"], isSecret: true),
        Field("port", number, "The port.", standard: "OpenSSH's configuration", example: "22", since: "v1, v2"),
        Field(
            "encrypted", .flag(only: false),
            "Only false: other tools of the field encrypt with a key that stands in their source, which keeps no"
                + " secret.",
            since: "0.8"),
    ]

    private static let network: [Field] = [
        Field(
            "podCIDR", .text(pattern: networksPattern),
            "The pods' network, or one of IPv4 and one of IPv6 joined by a comma (dual stack), the primary one first.",
            standard: "10.244.0.0/16", example: "10.1.0.0/16,fd00:1::/56", since: "v1"),
        Field(
            "svcCIDR", .text(pattern: networksPattern),
            "The services' network, or two of the families of podCIDR, in the same order.",
            standard: "10.96.0.0/12", example: "10.2.0.0/16,fd00:2::/112", since: "v1"),
        .ignored("interface", "has had no meaning since sealer 0.5"),
        .ignored("cniName", "has had no meaning since sealer 0.5"),
        .ignored("withoutCNI", "has had no meaning since sealer 0.5"),
    ]

    private static let certificates: [Field] = [
        Field(
            "authorityYears", .number(Cluster.certificateYears),
            "Years that the authorities' certificates are valid, the cluster's and its registry's.",
            standard: "10", since: "ours"),
        Field(
            "leafYears", .number(Cluster.certificateYears),
            "Years that the certificates of masters and registry are valid; from Kubernetes 1.31 on those in kubeadm's kubeconfigs too, which are valid for one year before.",
            standard: "1", since: "ours"),
        Field(
            "folder", .text(), "A folder on this machine with your own authorities, laid out as kubeadm's pki folder.",
            standard: "sealer makes them", example: "/etc/company/pki", since: "ours"),
    ]

    private static let hostAlias: [Field] = [
        Field(
            "ip", .text(pattern: "[0-9A-Fa-f.:]+"), "The address.", example: "10.0.0.9", since: "0.11", isRequired: true
        ),
        Field(
            "hostnames", .list(.text()), "The names.", example: "[harbor.local]", since: "0.11", isRequired: true),
    ]

    private static let registry: [Field] = [
        Field("localRegistry", .mapping(localRegistry), "The registry that sealer runs.", since: "0.11"),
        .refused("externalRegistry"),
    ]

    private static let localRegistry: [Field] = [
        Field("domain", .text(), "The name that nodes know it by.", standard: "sea.hub", since: "0.11"),
        Field("port", number, "Its port.", standard: "5000", since: "0.11"),
        Field(
            "ha", .flag(), "Whether it runs on every master, or on the first one only.", standard: "true", since: "0.11"
        ),
        Field(
            "insecure", .flag(only: false),
            "Only false: the registry is served over TLS, with the cluster's own authority.",
            since: "0.11"),
        Field(
            "cert",
            .mapping([
                Field(
                    "subjectAltName",
                    .mapping([
                        Field("dnsNames", .list(.text()), "Further names.", standard: "none", since: "0.11"),
                        Field("ips", .list(.text()), "Further addresses.", standard: "none", since: "0.11"),
                    ]),
                    "Further names and addresses.", since: "0.11")
            ]),
            "Its certificate.", since: "0.11"),
        .refused("username", "is not supported yet: the registry gives images to the cluster's nodes without a login"),
        .refused("password", "is not supported yet: the registry gives images to the cluster's nodes without a login"),
    ]

    private static let nodeContainer: [Field] = [
        Field(
            "nodeImage", .text(), "The Docker image that nodes start from; the engine must have it.",
            standard: NodeContainerSettings.defaultImage, since: "ours"),
        Field(
            "egress", .flag(), "Whether nodes may reach what lies outside their own network.", standard: "false",
            since: "ours"),
    ]
}
