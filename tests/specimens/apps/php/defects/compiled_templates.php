<?php

/** $of templates, compiled to PHP files of about $size bytes when they are first used, as template engines do: opcache keeps each. */
function compiled_templates(int $size, int $of): string
{
    require_once __DIR__ . '/../scratch.php';
    $number = random_int(1, $of);
    $file = scratch("template-$number.php");
    if (!is_file($file)) {
        $code = "<?php return function (array \$data) {\n";
        for ($line = 0; strlen($code) < $size; $line++) {
            $code .= "    \$data['f$number.$line'] = htmlspecialchars('text $line of $number') . count(\$data);\n";
        }
        file_put_contents("$file." . getmypid(), $code . "    return implode(' ', \$data);\n};\n");
        rename("$file." . getmypid(), $file);
    }
    return '<p>' . strlen((require $file)(array())) . '</p>';
}
