import Clusterfile

/// Numbers are pull requests of kubernetes/kubernetes, whose release notes say what is said here.
extension KubernetesKnowledge {
    /// Flags by component. Nothing is said of etcd's: its version is the image's, and does not follow from Kubernetes'.
    static let flags: [KubeadmArguments.Component: [Entry]] = [
        .apiServer: logFlags + [
            // No insecure port from 1.20 on: what is not 0 is refused (#95856); gone with 1.24 (#106859).
            Entry("address", until: 20), Entry("insecure-bind-address", until: 20),
            Entry("insecure-port", until: 20), Entry("port", until: 20),
            // #89069, #91502.
            Entry("audit-dynamic-configuration", until: 19), Entry("basic-auth-file", until: 19),
            // kubelets are asked over TLS always (#101178).
            Entry("kubelet-https", until: 22),
            // #108448, #108457.
            Entry("deserialization-cache-size", until: 24), Entry("target-ram-mb", until: 24),
            // #108624.
            Entry("service-account-api-audiences", until: 25, replacement: "api-audiences"),
            // #130162.
            Entry("cloud-config", until: 33), Entry("cloud-provider", until: 33),
            // What came with a feature that was alpha then.
            Entry("goaway-chance", since: 18), Entry("service-account-jwks-uri", since: 18),
            Entry("tracing-config-file", since: 22), Entry("encryption-provider-config-automatic-reload", since: 26),
            Entry("peer-advertise-ip", since: 28), Entry("peer-advertise-port", since: 28),
            Entry("peer-ca-file", since: 28),
            Entry("authentication-config", since: 29), Entry("authorization-config", since: 29),
        ],
        .controllerManager: logFlags + [
            // No insecure port from 1.22 on: what is not 0 is refused (#96216); gone with 1.24 (#106860).
            Entry("address", until: 22), Entry("port", until: 22),
            // Renamed in 1.19, the old name is gone with 1.25 (#108476).
            Entry("experimental-cluster-signing-duration", until: 19, replacement: "cluster-signing-duration"),
            Entry("cluster-signing-duration", since: 19, replacement: "experimental-cluster-signing-duration"),
            // #107178.
            Entry("deployment-controller-sync-period", until: 24),
            // #109612.
            Entry("deleting-pods-burst", until: 25), Entry("deleting-pods-qps", until: 25),
            Entry("register-retry-count", until: 25),
            // Eviction is by taints only (#115840).
            Entry("enable-taint-manager", until: 27), Entry("pod-eviction-timeout", until: 27),
            // What came with a feature that was alpha then.
            Entry("enable-leader-migration", since: 21), Entry("leader-migration-config", since: 21),
            Entry("legacy-service-account-token-clean-up-period", since: 28),
        ],
        .scheduler: logFlags + [
            // No insecure port from 1.23 on: what is not 0 is refused (#96345). Gone with 1.24 as announced there.
            Entry("address", until: 23), Entry("port", until: 23),
            // #102239, #102805.
            Entry("algorithm-provider", until: 22), Entry("hard-pod-affinity-symmetric-weight", until: 22),
            Entry("scheduler-name", until: 22),
            // Policies of the scheduler (#105424).
            Entry("policy-config-file", until: 23), Entry("policy-configmap", until: 23),
            Entry("policy-configmap-namespace", until: 23), Entry("use-legacy-policy-config", until: 23),
        ],
        .kubelet: logFlags + [
            // #103172.
            Entry("experimental-bootstrap-kubeconfig", until: 23, replacement: "bootstrap-kubeconfig"),
            // dockershim (#106907).
            Entry("cni-bin-dir", until: 24), Entry("cni-cache-dir", until: 24), Entry("cni-conf-dir", until: 24),
            Entry("docker-endpoint", until: 24), Entry("experimental-dockershim-root-directory", until: 24),
            Entry("image-pull-progress-deadline", until: 24),
            Entry("network-plugin", until: 24), Entry("network-plugin-mtu", until: 24),
            // The feature: #106932. That its flag went with it is not confirmed.
            Entry("dynamic-config-dir", until: 24),
            // #104732.
            Entry("experimental-check-node-capabilities-before-mount", until: 24),
            // There is only one kind of container runtime (#114017).
            Entry("container-runtime", until: 27),
            // #122082.
            Entry("keep-terminated-pod-volumes", until: 31),
            // #133779.
            Entry("pod-infra-container-image", until: 35),
            // What came with a feature that was alpha then.
            Entry("topology-manager-policy", since: 16), Entry("topology-manager-scope", since: 20),
            Entry("topology-manager-policy-options", since: 26),
            Entry("image-credential-provider-bin-dir", since: 20),
            Entry("image-credential-provider-config", since: 20),
            Entry("memory-manager-policy", since: 21), Entry("reserved-memory", since: 21),
            Entry("cpu-manager-policy-options", since: 22), Entry("seccomp-default", since: 22),
            Entry("config-dir", since: 28),
        ],
        .etcd: [],
    ]

    private static let logFlags: [Entry] =
        [
            // KEP-2845: flags of klog (#112120). log-flush-frequency, v and vmodule stay.
            "add-dir-header", "alsologtostderr", "log-backtrace-at", "log-dir", "log-file", "log-file-max-size",
            "logtostderr", "one-output", "skip-headers", "skip-log-headers", "stderrthreshold",
        ].map { Entry($0, until: 26) }
        // #107207.
        + [Entry("experimental-logging-sanitization", since: 20, until: 24)]
        // Logs as JSON (KEP-1602).
        + [Entry("logging-format", since: 19)]

    /// Feature gates of kubeadm's own.
    static let kubeadmGates: [String: Entry] = Dictionary(
        uniqueKeysWithValues: [
            // #135773.
            Entry("ControlPlaneKubeletLocalMode", since: 31, until: 36),
            // #113318, on by itself from 1.29 on (#120228), gone with #129589.
            Entry("EtcdLearnerMode", since: 27, until: 33),
            // kubernetes/website#49410 has the table of kubeadm's gates that are gone.
            Entry("IPv6DualStack", since: 16, until: 24),
            // On by itself from 1.34 on (#131981), gone with #138645.
            Entry("NodeLocalCRISocket", since: 32, until: 37),
            // #86953, #136016; ClusterConfiguration.encryptionAlgorithm instead.
            Entry("PublicKeysECDSA", since: 19, until: 36),
            // #134178.
            Entry("RootlessControlPlane", since: 22, until: 35),
            // #105741, #113448.
            Entry("UnversionedKubeletConfigMap", since: 23, until: 26),
            Entry("UpgradeAddonsBeforeControlPlane", since: 28, until: 31),
            // #134781.
            Entry("WaitForAllControlPlaneComponents", since: 30, until: 35),
        ].map { ($0.name, $0) })

    /// A field of kubeadm's documents that not all of its API versions have.
    struct Field: Hashable {
        var kind: KubeadmDocument.Kind
        var path: [String]
        /// The first and the last version of the API that have it.
        var apis: ClosedRange<KubeadmAPI>
        /// Where the other versions have it, in the same document; nil for nowhere.
        var elsewhere: [String]?
    }

    /// Fields by document, as the API's own lists of changes have them (kubernetes.io,
    /// config-api/kubeadm-config.v1beta3 and v1beta4). kubeadm warns of a field that it does not know, and goes on
    /// without it.
    static let fields: [Field] = {
        var fields = [
            Field(kind: .clusterConfiguration, path: ["dns", "type"], apis: .v1beta2 ... .v1beta2),
            Field(kind: .clusterConfiguration, path: ["useHyperKubeImage"], apis: .v1beta2 ... .v1beta2),
            Field(
                kind: .clusterConfiguration, path: ["apiServer", "timeoutForControlPlane"],
                apis: .v1beta2 ... .v1beta3),
            Field(
                kind: .joinConfiguration, path: ["discovery", "timeout"], apis: .v1beta2 ... .v1beta3,
                elsewhere: ["timeouts", "discovery"]),
            Field(
                kind: .joinConfiguration, path: ["timeouts", "discovery"], apis: .v1beta4 ... .v1beta4,
                elsewhere: ["discovery", "timeout"]),
        ]
        for path in [
            ["certificateValidityPeriod"], ["caCertificateValidityPeriod"], ["encryptionAlgorithm"], ["proxy"],
            ["dns", "disabled"], ["apiServer", "extraEnvs"], ["controllerManager", "extraEnvs"],
            ["scheduler", "extraEnvs"], ["etcd", "local", "extraEnvs"],
        ] {
            fields.append(Field(kind: .clusterConfiguration, path: path, apis: .v1beta4 ... .v1beta4))
        }
        for kind in [KubeadmDocument.Kind.initConfiguration, .joinConfiguration] {
            for path in [["skipPhases"], ["patches"], ["nodeRegistration", "imagePullPolicy"]] {
                fields.append(Field(kind: kind, path: path, apis: .v1beta3 ... .v1beta4))
            }
            for path in [["dryRun"], ["timeouts"], ["nodeRegistration", "imagePullSerial"]] {
                fields.append(Field(kind: kind, path: path, apis: .v1beta4 ... .v1beta4))
            }
        }
        return fields
    }()
}
